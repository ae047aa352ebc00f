package fjord;

import com.fasterxml.jackson.databind.JsonNode;
import java.math.BigDecimal;
import java.nio.ByteBuffer;
import java.time.LocalDate;
import java.time.LocalDateTime;
import java.time.LocalTime;
import java.time.OffsetDateTime;
import java.util.HexFormat;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.UUID;
import org.apache.iceberg.data.GenericRecord;
import org.apache.iceberg.data.Record;
import org.apache.iceberg.types.Type;
import org.apache.iceberg.types.Types;

/** Values between JSON and Iceberg's generic records; what JSON has no word for is text. */
final class Values {
  private Values() {}

  static Record record(Types.StructType type, JsonNode json) {
    GenericRecord record = GenericRecord.create(type);
    for (Types.NestedField field : type.fields()) {
      record.setField(field.name(), value(field.type(), json.path(field.name())));
    }
    return record;
  }

  private static Object value(Type type, JsonNode json) {
    if (json.isMissingNode() || json.isNull()) {
      return null;
    }
    String text = json.asText();
    return switch (type.typeId()) {
      case BOOLEAN -> json.asBoolean();
      case INTEGER -> json.asInt();
      case LONG -> json.asLong();
      case FLOAT -> Float.parseFloat(text);
      case DOUBLE -> Double.parseDouble(text);
      case DECIMAL -> new BigDecimal(text).setScale(((Types.DecimalType) type).scale());
      case DATE -> LocalDate.parse(text);
      case TIME -> LocalTime.parse(text);
      case TIMESTAMP -> ((Types.TimestampType) type).shouldAdjustToUTC()
          ? OffsetDateTime.parse(text) : LocalDateTime.parse(text);
      case STRING -> text;
      case UUID -> UUID.fromString(text);
      case FIXED -> HexFormat.of().parseHex(text);
      case BINARY -> ByteBuffer.wrap(HexFormat.of().parseHex(text));
      case STRUCT -> record(type.asStructType(), json);
      default -> throw new IllegalArgumentException("no values of type " + type);
    };
  }

  static Map<String, Object> json(Record record) {
    Map<String, Object> out = new LinkedHashMap<>();
    for (Types.NestedField field : record.struct().fields()) {
      out.put(field.name(), json(record.getField(field.name())));
    }
    return out;
  }

  private static Object json(Object value) {
    if (value == null || value instanceof Boolean || value instanceof Integer || value instanceof Long) {
      return value;
    }
    if (value instanceof Record record) {
      return json(record);
    }
    if (value instanceof BigDecimal decimal) {
      return decimal.toPlainString();
    }
    if (value instanceof ByteBuffer buffer) {
      byte[] bytes = new byte[buffer.remaining()];
      buffer.duplicate().get(bytes);
      return HexFormat.of().formatHex(bytes);
    }
    if (value instanceof byte[] bytes) {
      return HexFormat.of().formatHex(bytes);
    }
    return value.toString();
  }
}
