"""The demo: a day in the life of the shop, with a real server, a real worker, and a check of everything they did."""
