"""What a person hands over becomes a folder of plain files: archives, lists, annotations."""
