"""What is known of people, on their terms: sealing, erasure, consent, retention, export; and who did what."""
