"""Teaching networks music: data, objective, optimiser, a run that can be stopped and resumed to the bit."""
