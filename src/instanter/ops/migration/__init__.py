"""From the format of a data directory that an older version wrote to today's."""
