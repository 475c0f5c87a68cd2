import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;
import java.util.stream.Collectors;
import java.util.stream.IntStream;
import org.apache.flink.configuration.Configuration;
import org.apache.flink.configuration.CoreOptions;
import org.apache.flink.table.api.EnvironmentSettings;
import org.apache.flink.table.api.TableEnvironment;
import org.apache.flink.types.Row;
import org.apache.flink.types.RowKind;

/** Runs the statements on its standard input in Flink, and prints the final rows of each query. */
public final class SqlRunner {
    public static void main(String[] arguments) throws Exception {
        var configuration = new Configuration().set(CoreOptions.DEFAULT_PARALLELISM, 1);
        var flink = TableEnvironment.create(EnvironmentSettings.newInstance()
            .inStreamingMode()
            .withConfiguration(configuration)
            .build());
        String script = new String(System.in.readAllBytes(), StandardCharsets.UTF_8);
        for (String statement : script.strip().split(";\\s*(\\n|$)")) {
            var result = flink.executeSql(statement);
            if (statement.stripLeading().startsWith("SELECT")) {
                try (var changes = result.collect()) {
                    List<Row> rows = new ArrayList<>();
                    changes.forEachRemaining(change -> apply(change, rows));
                    rows.forEach(SqlRunner::print);
                }
            }
        }
    }

    private static void apply(Row change, List<Row> rows) {
        RowKind kind = change.getKind();
        change.setKind(RowKind.INSERT);
        if (kind == RowKind.INSERT || kind == RowKind.UPDATE_AFTER) {
            rows.add(change);
        } else if (!rows.remove(change)) {
            throw new IllegalStateException("no such row: " + change);
        }
    }

    private static void print(Row row) {
        System.out.println(IntStream.range(0, row.getArity())
            .mapToObj(column -> String.valueOf(row.getField(column)))
            .collect(Collectors.joining("\t")));
    }
}
