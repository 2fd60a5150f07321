"""What lies around a session: doctor, demo, replay, rehearsal, practice."""
