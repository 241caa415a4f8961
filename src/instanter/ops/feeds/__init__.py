"""Files of items in the forms that shops and feeds write: one way to read all of them."""
