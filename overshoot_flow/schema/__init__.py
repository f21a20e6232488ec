"""JSON Schema in, validated and typed Arrow out."""
