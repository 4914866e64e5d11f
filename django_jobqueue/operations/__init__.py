"""The one door for writes: whatever a person or a program can ask for."""
