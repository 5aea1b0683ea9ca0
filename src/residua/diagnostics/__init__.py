"""Why a network says what it says, and why it learns or not."""
