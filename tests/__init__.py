"""Tests; a package so that they can share their support modules."""
