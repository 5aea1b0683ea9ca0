"""The studies that come with the library, one file each."""
