//! What can be seen: forty films that nobody ever made.

/// One film of the company's stock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Film {
    pub(crate) id: &'static str,
    pub(crate) title: &'static str,
    pub(crate) year: u16,
    pub(crate) minutes: u16,
    pub(crate) genre: &'static str,
    pub(crate) about: &'static str,
}

/// The film of this id.
pub(crate) fn find(id: &str) -> Option<&'static Film> {
    FILMS.iter().find(|film| film.id == id)
}

const fn film(
    id: &'static str,
    title: &'static str,
    year: u16,
    minutes: u16,
    genre: &'static str,
    about: &'static str,
) -> Film {
    Film { id, title, year, minutes, genre, about }
}

/// The stock, the most watched first.
#[rustfmt::skip]
pub(crate) const FILMS: [Film; 40] = [
    film("quay-nine", "The Lamplighter of Quay Nine", 2019, 118, "mystery", "Every lamp in the harbour is lit, and nobody remembers lighting the last one."),
    film("slow-comet", "The Slow Comet", 2022, 134, "science fiction", "It will arrive in nine hundred years. A village starts to prepare."),
    film("salt-semaphore", "Salt and Semaphore", 2015, 102, "romance", "Two signal keepers on facing cliffs have never heard each other's voices."),
    film("kettle-parliament", "A Parliament of Kettles", 2020, 94, "comedy", "The smallest republic in Europe is governed from a tea room, badly."),
    film("grandmother-submarine", "My Grandmother's Submarine", 2017, 101, "family", "It was in the barn all along, under the hay, fully fuelled."),
    film("ninth-echo", "The Ninth Echo", 2021, 109, "thriller", "A cave answers eight times. On the ninth it asks."),
    film("bread-for-the-tide", "Bread for the Tide", 2012, 127, "drama", "A baker feeds a town that the sea takes back a street a year."),
    film("paper-volcano", "The Paper Volcano", 2018, 88, "family", "A school project becomes the tallest mountain in the district."),
    film("cartographers-son", "The Cartographer's Second Son", 2009, 141, "adventure", "The first son drew the coast. The second has to sail it."),
    film("night-bus-41", "Night Bus 41", 2023, 97, "drama", "One driver, one route, and eleven passengers who never get off."),
    film("moth-and-mayor", "The Moth and the Mayor", 2016, 91, "comedy", "An insect is elected by mistake and turns out to be good at it."),
    film("glass-orchard", "Glass Orchard", 2014, 112, "drama", "Three sisters inherit a greenhouse and each other's secrets."),
    film("under-red-snow", "Under Red Snow", 2020, 123, "thriller", "A weather station reports a colour that is not in the code book."),
    film("clockmakers-strike", "The Clockmakers' Strike", 2011, 106, "history", "For eleven days in 1874 no one in the valley knew the time."),
    film("hush-harbour", "Hush Harbour", 2022, 99, "mystery", "A sound engineer is hired to find out why a town has none."),
    film("two-left-oars", "Two Left Oars", 2013, 86, "comedy", "The worst rowing crew in the country qualifies by arithmetic."),
    film("amber-line", "The Amber Line", 2019, 131, "science fiction", "The underground has one stop that is always tomorrow."),
    film("borrowed-piano", "The Borrowed Piano", 2010, 108, "romance", "It must be back by Sunday, and it is on the wrong side of a river."),
    film("kite-inspector", "The Kite Inspector", 2021, 83, "family", "Rules are rules, until the wind changes."),
    film("last-ferryman", "Letters to the Last Ferryman", 2008, 119, "history", "The bridge is finished. The letters keep arriving."),
    film("copper-owls", "Copper Owls", 2018, 104, "adventure", "A roof thief finds the map was on the roof."),
    film("winter-in-stereo", "Winter in Stereo", 2016, 95, "romance", "They share one pair of headphones and two opinions."),
    film("eleven-doors", "Eleven Doors Down", 2023, 111, "thriller", "The new neighbour has keys to all of them."),
    film("orbit-of-onions", "The Orbit of Onions", 2017, 92, "comedy", "A space programme is run from an allotment, on allotment money."),
    film("quiet-surveyors", "The Quiet Surveyors", 2012, 138, "history", "Measuring a border takes two years. Believing in it takes longer."),
    film("tin-lighthouse", "The Tin Lighthouse", 2014, 90, "family", "A toy in a shop window guides one real ship home."),
    film("forty-watt-moon", "Forty-Watt Moon", 2021, 116, "science fiction", "The power cut reaches further up than anyone expected."),
    film("debt-of-honey", "A Debt of Honey", 2015, 122, "drama", "Bees do not care who owns the field. The brothers do."),
    film("map-of-coughs", "A Map of Coughs", 2020, 107, "mystery", "A doctor draws the epidemic and sees a face."),
    film("salted-roads", "Salted Roads", 2011, 113, "adventure", "A plough driver takes the long way, with a stowaway."),
    film("understudy-king", "The Understudy King", 2019, 125, "history", "For one week the double rules, and rules well."),
    film("wrong-snowman", "The Wrong Snowman", 2022, 81, "family", "It was not there last night, and it has somebody's hat."),
    film("ballroom-frequency", "Ballroom Frequency", 2013, 100, "romance", "A radio plays tomorrow's dance music to one listener."),
    film("seventh-hinge", "The Seventh Hinge", 2016, 114, "thriller", "A locksmith is paid to forget, in instalments."),
    film("porcelain-yeti", "The Porcelain Yeti", 2018, 89, "comedy", "An auction house has four days to make a legend look genuine."),
    film("deep-field", "The Shepherd of Deep Field", 2023, 136, "science fiction", "Somebody has to count the stars home."),
    film("stairwell-choir", "Stairwell Choir", 2010, 96, "drama", "Six floors, no lift, and one song that needs all of them."),
    film("marble-mile", "The Marble Mile", 2014, 103, "adventure", "A race along a quarry that is still being dug."),
    film("owl-hours", "Owl Hours", 2017, 98, "mystery", "The museum's night guard signs in twice."),
    film("thousand-umbrellas", "A Thousand Umbrellas", 2021, 110, "romance", "Lost property never forgets a face."),
];

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn every_film_is_found_by_an_id_of_its_own_that_fits_into_a_path() {
        let ids: HashSet<&str> = FILMS.iter().map(|film| film.id).collect();
        assert_eq!(ids.len(), FILMS.len());
        for film in &FILMS {
            assert!(
                film.id.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-'),
                "{film:?}"
            );
            assert_eq!(find(film.id), Some(film));
        }
        assert_eq!(find("nobody-made-this"), None);
    }
}
