"""One file per historical mistake; the catalogue in ``stress.defect`` finds them."""
