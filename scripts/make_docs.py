"""Write the pages under docs/ that are made from the code: docs/configuration.md from the schema."""

from pathlib import Path

from seq2attn.config.document import configuration_page

PAGE = Path(__file__).parent.parent / "docs" / "configuration.md"

if __name__ == "__main__":
    PAGE.write_text(configuration_page(), encoding="utf-8")
