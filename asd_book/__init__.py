"""What a teacher needs beside the book: the command ``asd-book``."""
