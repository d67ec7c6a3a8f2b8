"""What a device can learn about its user, and models that suit the user without learning."""
