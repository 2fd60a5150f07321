"""What keeps a group's voices private: where they lie in memory, and what the hearing process may do."""
