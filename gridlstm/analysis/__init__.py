"""What can be read off a trace: marks on the text, rankings, saturation, orders of units."""
