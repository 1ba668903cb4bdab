"""Remarks for users on what was read: probable mistakes in their inputs, outcomes and classes, and how to correct them."""
