"""The networks that are not the paper's, and the list of all networks by name."""
