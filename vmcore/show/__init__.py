"""Records of a VM as text, for dumps."""
