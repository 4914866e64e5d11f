"""What the shop sells."""

from decimal import Decimal

from django.apps.registry import Apps
from django.db import migrations
from django.db.backends.base.schema import BaseDatabaseSchemaEditor

PRODUCTS = {
    "Enamel mug": "14.50",
    "Field notebook": "9.90",
    "Linen tea towel": "12.00",
    "Pocket torch": "24.00",
    "Raincoat": "89.00",
    "Walnut spoon": "17.80",
}


def add_products(apps: Apps, schema_editor: BaseDatabaseSchemaEditor) -> None:
    products = apps.get_model("shop", "Product").objects.using(schema_editor.connection.alias)
    for name, price in PRODUCTS.items():
        products.create(name=name, price=Decimal(price))


class Migration(migrations.Migration):
    dependencies = [("shop", "0001_initial")]

    operations = [migrations.RunPython(add_products, migrations.RunPython.noop)]
