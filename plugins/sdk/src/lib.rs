//! For authors of provider plugins: guest glue, template engine, golden tests.
