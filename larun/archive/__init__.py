"""Places that light curves come from, behind one protocol."""
