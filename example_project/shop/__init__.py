"""The shop: customers, their orders, and what they are told about them."""
