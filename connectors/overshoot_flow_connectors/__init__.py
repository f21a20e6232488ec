"""Sources and sinks: video files, Parquet."""
