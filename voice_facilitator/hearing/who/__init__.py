"""Who speaks: the presenter, somebody else, nobody."""
