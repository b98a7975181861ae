"""Reading and writing records of the directory, with their audit trail."""
