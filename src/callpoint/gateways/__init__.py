"""What stands between an actor and a target while an activation is used.

``authority`` asks whoever decides, over HTTPS; ``guard`` ends live sessions; ``postgres`` speaks
the target's protocol.
"""
