"""A physically modelled TESS sector, written in the layout of the mission. Everything from it says simulated."""
