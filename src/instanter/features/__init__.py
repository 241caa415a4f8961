"""Features: declared, not coded. What they mean, how they are folded, and how a decision reads them."""
