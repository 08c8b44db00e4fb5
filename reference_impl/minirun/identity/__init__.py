"""Who is asking, and whether they may: tokens, and the policy of who may invoke."""
