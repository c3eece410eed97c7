import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse.BodyHandlers;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.MessageDigest;
import java.time.Duration;
import java.util.HexFormat;

/**
 * HttpClient of Java: asks for each file of a list, and compares what comes with its SHA-256.
 *
 * <p>Arguments: the beginning of each URL, the list, in the form of sha256sum, and the version, as HttpClient calls it.
 * With HTTP_2, which is its default, it asks for an upgrade.
 */
public class Get {
    public static void main(String[] arguments) throws Exception {
        var version = HttpClient.Version.valueOf(arguments[2]);
        var client = HttpClient.newBuilder().version(version).connectTimeout(Duration.ofMinutes(1)).build();
        int count = 0;
        int failures = 0;
        for (String line : Files.readAllLines(Path.of(arguments[1]))) {
            String[] words = line.split("\\s+");
            var uri = URI.create(arguments[0] + "/" + words[1]);
            count++;
            try {
                var request = HttpRequest.newBuilder(uri).timeout(Duration.ofMinutes(1)).build();
                var response = client.send(request, BodyHandlers.ofByteArray());
                byte[] hash = MessageDigest.getInstance("SHA-256").digest(response.body());
                if (response.statusCode() != 200 || !HexFormat.of().formatHex(hash).equals(words[0])) {
                    throw new Exception(response.statusCode() + ", " + response.body().length + " bytes");
                }
            } catch (Exception exception) {
                failures++;
                System.err.println(words[1] + ": " + exception);
            }
        }
        System.out.println(count + " requests, " + failures + " failures");
    }
}
