//! YAML text to nodes with line and column, and mistakes that point at them.
