"""How workers are woken when there is work. What is lost here costs time and nothing else: the truth is in the tables."""
