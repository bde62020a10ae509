"""Signal processing: tensors in, tensors out; no file, no network, no settings."""
