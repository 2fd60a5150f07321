"""Speaking: renders the announcements and plays them over the room's speaker."""
