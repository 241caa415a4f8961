"""The live picture: fixed-layout records of people, sessions and items, and the one fold that changes them."""
