"""Pages of HTML that need nothing else: what they have in common, and the page of an evaluation."""
