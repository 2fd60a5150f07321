"""Where everything meets: the session core, the hearing, the speaking and the displays."""
