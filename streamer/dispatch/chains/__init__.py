"""Chains of subscribers (`after`): events forwarded with receipts, and joined again."""
