"""What happened: tables, the one transaction of a bar, reading, migrations."""
