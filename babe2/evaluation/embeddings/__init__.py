"""What hears music for a Frechet distance: networks that were trained on other tasks, and one that never was."""
