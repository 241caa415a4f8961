"""The way of a decision: candidates, eligibility, features, score, policy, arrangement, receipt."""
