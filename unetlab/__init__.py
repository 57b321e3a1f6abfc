"""unetlab: teach a U-Net to segment your own pictures and see what happens while it learns."""
