"""The page-out daemon."""
