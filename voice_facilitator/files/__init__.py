"""What people write: settings, session formats, wording, spoken phrases, each checked whole."""
