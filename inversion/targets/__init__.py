"""What is to be inverted: vectors from files and from photos, made ones between people or of nobody, in groups."""
