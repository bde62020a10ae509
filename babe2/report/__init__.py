"""Documents a restoration: pictures, numbers, the command that makes it again, the evidence pack."""
